"""How fast it is, as ratios that hold on any machine. Knows the service from outside, like a user.

`make bench` runs it; README.md says what the rows mean.
"""
