"""Where units run: the line that the engine knows, and its implementation on Podman."""
