"""What an environment runs on: which stack, which services or releases. One module or package each."""
