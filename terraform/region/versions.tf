terraform {
  required_version = ">= 1.11.0, < 2.0.0"

  # One state a region, in a bucket of that region: `terraform init -backend-config=...` names it (README).
  backend "s3" {}

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

provider "aws" {
  region              = module.topology.region.aws.region
  allowed_account_ids = [module.topology.region.aws.account_id]

  default_tags {
    tags = {
      "tocsin:region" = var.region
    }
  }
}
