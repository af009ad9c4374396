output "arn" {
  description = "The bucket; a peer copies to it."
  value       = aws_s3_bucket.this.arn
}

output "bucket" {
  description = "The bucket's name. Backups of this region begin with its name and a slash."
  value       = aws_s3_bucket.this.bucket
}
