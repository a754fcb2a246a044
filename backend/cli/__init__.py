"""The `levitor` command, one file a subcommand; heavy imports happen inside them."""
