"""Numbers in, numbers out: numpy and scipy only, no files, no models, no words for users."""
