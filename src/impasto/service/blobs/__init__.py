"""Where the pictures of jobs are kept."""
