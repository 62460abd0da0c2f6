"""The precisions that a deploy may have, and which tensors need another one."""
