# Every rule that tflint has of its own. One of a provider would have to be fetched.
plugin "terraform" {
  enabled = true
  preset  = "all"
}

# A local value that only other local values are made from begins with a bar, as what is private does in the service.
rule "terraform_naming_convention" {
  enabled = true

  locals {
    custom = "^_?[a-z][a-z0-9]*(_[a-z0-9]+)*$"
  }
}
