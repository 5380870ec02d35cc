"""The fault matrix: the real processes under each fault, and who was owed a call and got none."""
