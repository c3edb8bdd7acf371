"""What a token costs to make and what we ask for it: the pure pricing half of Tokenworks."""
