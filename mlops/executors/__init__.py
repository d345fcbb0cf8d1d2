"""Where a step runs. Every executor runs `project.run_step`, handed in, and reports through one queue."""
