terraform {
  # Only terraform_data, which is built in: `init` needs no network. OpenTofu satisfies this, too.
  required_version = ">= 1.5"
}
