"""What models read: files, pictures and how they become tensors."""
