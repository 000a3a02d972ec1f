"""One file for each step of the way from images to a comparison."""
