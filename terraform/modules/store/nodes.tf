# The nodes that are made here; none when a cluster is given.

resource "aws_iam_role" "node" {
  count = var.nodes == null ? 0 : 1
  name  = "${var.name}-store"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "secrets" {
  count = var.nodes == null ? 0 : 1
  name  = "secrets"
  role  = aws_iam_role.node[0].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = "secretsmanager:GetSecretValue"
        Resource = [for name in ["ca", "node-certificate"] : aws_secretsmanager_secret.this[name].arn]
      },
      {
        Effect   = "Allow"
        Action   = "kms:Decrypt"
        Resource = var.key_arn
      },
    ]
  })
}

# People log in by Systems Manager: no port, no key, and who did is on record.
resource "aws_iam_role_policy_attachment" "session" {
  count = var.nodes == null ? 0 : 1

  policy_arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
  role       = aws_iam_role.node[0].name
}

resource "aws_iam_instance_profile" "node" {
  count = var.nodes == null ? 0 : 1

  name = "${var.name}-store"
  role = aws_iam_role.node[0].name
}

resource "aws_network_interface" "node" {
  for_each = local._nodes

  private_ips     = [each.value.address]
  security_groups = [aws_security_group.nodes.id]
  subnet_id       = each.value.subnet_id

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_ebs_volume" "node" {
  for_each = local._nodes

  availability_zone = each.value.zone
  encrypted         = true
  kms_key_id        = var.key_arn
  size              = var.nodes.storage_gib
  type              = "gp3"

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_instance" "node" {
  for_each = local._nodes

  ami                  = var.nodes.ami
  iam_instance_profile = aws_iam_instance_profile.node[0].name
  instance_type        = var.nodes.instance_type

  user_data = templatefile("${path.module}/node.sh.tftpl", {
    address            = each.value.address
    ca_secret          = aws_secretsmanager_secret.this["ca"].name
    certificate_secret = aws_secretsmanager_secret.this["node-certificate"].name
    cluster            = var.name
    local_dc           = var.local_dc
    native_port        = local.native_port
    ring_port          = local.ring_port
    seeds              = join(",", local.seeds)
    volume             = replace(aws_ebs_volume.node[each.key].id, "-", "")
    zone               = each.value.zone
  })
  user_data_replace_on_change = true

  metadata_options {
    http_put_response_hop_limit = 1
    http_tokens                 = "required"
  }

  network_interface {
    device_index         = 0
    network_interface_id = aws_network_interface.node[each.key].id
  }

  root_block_device {
    encrypted   = true
    kms_key_id  = var.key_arn
    volume_size = 20
    volume_type = "gp3"
  }

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_volume_attachment" "node" {
  for_each = local._nodes

  device_name                    = "/dev/sdf"
  instance_id                    = aws_instance.node[each.key].id
  stop_instance_before_detaching = true
  volume_id                      = aws_ebs_volume.node[each.key].id
}
