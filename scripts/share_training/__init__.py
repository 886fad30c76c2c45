"""The lessons of the share network: phrases drawn from a bank, mixed as in a studio, and what is true of them."""
