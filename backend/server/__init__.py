"""The job server: a ZeroMQ event loop, a job store, and worker processes that run the jobs."""
