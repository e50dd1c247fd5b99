"""An existing cluster: what is looked at before and after its releases are brought up."""
