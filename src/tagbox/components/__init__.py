"""Taking a mixture apart into components, before anything says what they are."""
