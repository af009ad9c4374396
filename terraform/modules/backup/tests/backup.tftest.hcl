# Backups: never overwritten, never public, and copied to peers.

mock_provider "aws" {
  source          = "../../mocks"
  override_during = plan
}

variables {
  account_id = "111122223333"
  key_arn    = "arn:aws:kms:eu-central-1:111122223333:key/1"
  name       = "eu-central-1"

  peers = {
    eu-west-1 = { bucket_arn = "arn:aws:s3:::west", key_arn = "arn:aws:kms:eu-west-1:111122223333:key/2" }
    us-east-1 = { bucket_arn = "arn:aws:s3:::east", key_arn = "arn:aws:kms:us-east-1:111122223333:key/3" }
  }
}

run "kept_and_for_nobody_else" {
  command = plan

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "Who writes a backup anew has overwritten the one before."
  }

  assert {
    condition     = aws_s3_bucket_public_access_block.this.block_public_acls && aws_s3_bucket_public_access_block.this.block_public_policy && aws_s3_bucket_public_access_block.this.ignore_public_acls && aws_s3_bucket_public_access_block.this.restrict_public_buckets
    error_message = "Backups can be made public."
  }

  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default[0].kms_master_key_id == var.key_arn
    error_message = "Backups lie under a key that is not ours."
  }
}

run "copied_to_every_peer" {
  command = plan

  assert {
    condition     = { for rule in aws_s3_bucket_replication_configuration.this[0].rule : rule.id => rule.destination[0].bucket } == { to-eu-west-1 = "arn:aws:s3:::west", to-us-east-1 = "arn:aws:s3:::east" }
    error_message = "A peer has no copy."
  }

  assert {
    condition     = alltrue([for rule in aws_s3_bucket_replication_configuration.this[0].rule : rule.delete_marker_replication[0].status == "Disabled"])
    error_message = "Who empties one bucket has emptied all."
  }

  assert {
    condition     = alltrue([for rule in aws_s3_bucket_replication_configuration.this[0].rule : rule.filter[0].prefix == "eu-central-1/"])
    error_message = "Copies are copied back."
  }
}

run "alone_it_copies_nowhere" {
  command = plan

  variables {
    peers = {}
  }

  assert {
    condition     = length(aws_s3_bucket_replication_configuration.this) == 0
    error_message = "Copies were planned to a bucket that is not there."
  }
}
