"""INT8 to a stated accuracy: how far it is off, which operation is to blame, and the cheapest way back."""
