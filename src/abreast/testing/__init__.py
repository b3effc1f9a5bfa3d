"""For tests of abreast and of what builds on it; public."""
