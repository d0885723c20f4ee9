"""Files of the field -> windows of DNA and signal."""
