"""Models as backbones: one module per library or kind, each with what reads its inputs."""
