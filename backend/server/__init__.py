"""The job server: a loop that always answers, and worker processes that do the heavy work."""
