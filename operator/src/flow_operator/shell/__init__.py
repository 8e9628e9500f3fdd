"""Effects: the API server, kopf, the queue, the process."""
