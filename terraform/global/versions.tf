terraform {
  required_version = ">= 1.11.0, < 2.0.0"

  backend "s3" {}

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

# Route 53 is not in any region; its control plane answers here.
provider "aws" {
  region = "us-east-1"
}
