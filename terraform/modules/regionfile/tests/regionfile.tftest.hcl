# The region files that the service reads, from what is known of the peers.

variables {
  bootstrap      = ["b-1.example.com:9098", "b-2.example.com:9098"]
  contact_points = { blue = ["10.10.0.10:9042"] }
  deployed       = {}

  region = {
    name          = "eu-central-1"
    founding      = true
    partitions    = 32
    peers         = ["eu-west-1", "us-east-1"]
    log           = { retention_s = 604800, replication_factor = 3, min_insync_replicas = 2 }
    stacks        = { blue = { keyspace = "tocsin_blue", local_dc = "eu-central-1", replication_factor = 3, username = "tocsin" } }
    serving_stack = "blue"
    delivery      = { smtp = { server = "mail.example.com:587", sender = "tocsin@example.com", tls = "starttls", username = "tocsin" } }
    limits        = { grace_s = 20 }
    paging        = {}
    aws           = { region = "eu-central-1" }
  }
}

run "peer_that_was_never_there_is_not_told_of" {
  command = plan

  assert {
    condition     = keys(output.files) == ["eu-central-1"] && length(output.own.peers) == 0
    error_message = "The service waits for a peer that is not there."
  }
}

run "peer_whose_prefix_is_not_written_back_is_not_told_of" {
  command = plan

  variables {
    deployed = {
      eu-west-1 = { region_file = { name = "eu-west-1" }, mirror_prefixes = {} }
    }
  }

  assert {
    condition     = keys(output.files) == ["eu-central-1"]
    error_message = "The service would read a topic under a name that nobody gave it."
  }
}

run "peers_that_are_mirrored_are_told_of_and_list_each_other" {
  command = plan

  variables {
    deployed = {
      eu-central-1 = { region_file = {}, mirror_prefixes = { eu-west-1 = "west.", us-east-1 = "east." } }
      eu-west-1    = { region_file = { name = "eu-west-1", partitions = 32 }, mirror_prefixes = { eu-central-1 = "central." } }
      us-east-1    = { region_file = { name = "us-east-1", partitions = 32 }, mirror_prefixes = {} }
    }
  }

  assert {
    condition     = output.own.peers == [{ name = "eu-west-1", mirror_prefix = "west." }, { name = "us-east-1", mirror_prefix = "east." }]
    error_message = "The service reads its peers by other prefixes than were written back."
  }

  assert {
    condition     = { for peer in jsondecode(output.files["eu-west-1"]).peers : peer.name => peer.mirror_prefix } == { eu-central-1 = "central.", us-east-1 = "not-yet-mirrored.us-east-1." }
    error_message = "In the folder that the service reads, a region does not list all others."
  }

  assert {
    condition     = output.own.delivery.key_file == "/etc/tocsin/secrets/paging.key"
    error_message = "Each task signs webhooks by a key that it makes itself."
  }

  assert {
    condition     = output.own.delivery.smtp == { server = "mail.example.com:587", sender = "tocsin@example.com", tls = "starttls", login = { by = "password", username = "tocsin", password_file = "/etc/tocsin/secrets/smtp-password" } }
    error_message = "The mail server of the file is lost, or the notifier cannot log in to it."
  }

  assert {
    condition     = output.own.limits == { grace_s = 20 }
    error_message = "Limits of the file are lost."
  }
}

run "nobody_is_mailed_without_a_mail_server" {
  command = plan

  variables {
    region = merge(var.region, { delivery = { smtp = null } })
  }

  assert {
    condition     = keys(output.own.delivery) == ["key_file"]
    error_message = "The notifier is told of a mail server that nobody named."
  }
}
