"""Damaged inputs, kills at random moments, and disks that are full: whatever files and machines do."""
