"""Studies of the suite itself: no part of what it offers."""
