"""Published sets of images, written in their own formats with few images: one module for each."""
