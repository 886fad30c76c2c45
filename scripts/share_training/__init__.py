"""The share network's lessons: phrases from a bank, mixed as in a studio, and what is true of them."""
