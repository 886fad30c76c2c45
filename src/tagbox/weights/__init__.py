"""Published weights: their catalogue, their download and verification, and the cache that keeps them."""
