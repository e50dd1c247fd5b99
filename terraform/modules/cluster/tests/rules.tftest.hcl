mock_provider "aws" {
  mock_resource "aws_eks_cluster" {
    defaults = {
      certificate_authority = [{ data = "Q0E=" }]
    }
  }
}

variables {
  name                = "renec-test"
  account             = "123456789012"
  partition           = "aws"
  region              = "us-east-1"
  kubernetes_version  = "1.33"
  subnet_ids          = ["subnet-a", "subnet-b", "subnet-c"]
  api_allowed_cidrs   = []
  administrators      = { team = "arn:aws:iam::123456789012:role/platform" }
  viewers             = { ci = "arn:aws:iam::123456789012:role/plan" }
  node_type           = "m7i.large"
  node_disk_gib       = 50
  nodes_min           = 3
  nodes_max           = 8
  deletion_protection = true
  log_retention_days  = 30
  logs_key_arn        = "arn:aws:kms:us-east-1:123456789012:key/logs"
  secrets_key_arn     = "arn:aws:kms:us-east-1:123456789012:key/cluster"
  data_key_arn        = "arn:aws:kms:us-east-1:123456789012:key/data"
  tags                = { Project = "renec" }
}

run "cluster" {
  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_private_access && !aws_eks_cluster.this.vpc_config[0].endpoint_public_access
    error_message = "The API is private."
  }

  assert {
    condition     = contains(aws_eks_cluster.this.enabled_cluster_log_types, "audit")
    error_message = "What is done in the cluster is logged."
  }

  assert {
    condition     = aws_cloudwatch_log_group.control_plane.kms_key_id == var.logs_key_arn
    error_message = "The control plane's logs are encrypted with our key."
  }

  assert {
    condition     = contains(aws_eks_cluster.this.encryption_config[0].resources, "secrets") && aws_eks_cluster.this.encryption_config[0].provider[0].key_arn == var.secrets_key_arn
    error_message = "Kubernetes' secrets are encrypted with our key."
  }

  assert {
    condition     = aws_eks_cluster.this.deletion_protection
    error_message = "The cluster is protected."
  }

  assert {
    condition     = aws_eks_cluster.this.access_config[0].authentication_mode == "API" && !aws_eks_cluster.this.access_config[0].bootstrap_cluster_creator_admin_permissions
    error_message = "Nobody has a right that is written nowhere."
  }

  assert {
    condition     = endswith(aws_eks_access_policy_association.viewers["ci"].policy_arn, "/AmazonEKSViewPolicy")
    error_message = "Viewers only look."
  }

  assert {
    condition     = aws_launch_template.nodes.metadata_options[0].http_tokens == "required" && aws_launch_template.nodes.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "Pods cannot take the node's role."
  }

  assert {
    condition     = tobool(aws_launch_template.nodes.block_device_mappings[0].ebs[0].encrypted) && aws_launch_template.nodes.block_device_mappings[0].ebs[0].kms_key_id == var.data_key_arn
    error_message = "Nodes' disks are encrypted with our key."
  }

  assert {
    condition     = length(aws_eks_node_group.this.subnet_ids) == 3 && aws_eks_node_group.this.scaling_config[0].min_size == 3
    error_message = "Nodes are spread over the zones."
  }

  assert {
    condition     = aws_eks_node_group.this.ami_type == "AL2023_x86_64_STANDARD"
    error_message = "The image fits the instance type."
  }

  assert {
    condition     = length(aws_iam_role_policy_attachment.nodes) == 2 && !anytrue([for policy in aws_iam_role_policy_attachment.nodes : strcontains(policy.policy_arn, "CNI") || strcontains(policy.policy_arn, "Administrator")])
    error_message = "Nodes have the two policies that they need."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.pod["cluster-autoscaler"].policy).Statement[1].Condition.StringEquals["aws:ResourceTag/k8s.io/cluster-autoscaler/renec-test"] == "owned"
    error_message = "The autoscaler changes the nodes of this cluster alone."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.pod["aws-load-balancer-controller"].policy).Statement[1].Resource == "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/renec-test-*/*"
    error_message = "The controller registers pods in this environment's target groups alone."
  }

  assert {
    condition     = alltrue([for role in aws_iam_role.pod : jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == var.account])
    error_message = "Only this account's clusters hand out the roles."
  }

  assert {
    condition     = alltrue([for addon in ["vpc-cni", "kube-proxy", "eks-pod-identity-agent"] : contains(keys(aws_eks_addon.before_nodes), addon)]) && alltrue([for addon in ["coredns", "aws-ebs-csi-driver", "metrics-server"] : contains(keys(aws_eks_addon.on_nodes), addon)])
    error_message = "The cluster has its add-ons."
  }
}

run "graviton_and_an_allow_list" {
  variables {
    node_type         = "m7g.large"
    api_allowed_cidrs = ["203.0.113.0/24"]
  }

  assert {
    condition     = aws_eks_node_group.this.ami_type == "AL2023_ARM_64_STANDARD"
    error_message = "The image fits the instance type."
  }

  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_public_access && contains(aws_eks_cluster.this.vpc_config[0].public_access_cidrs, "203.0.113.0/24")
    error_message = "The API is open to the networks that are named."
  }
}

run "everybody_is_refused" {
  command = plan

  variables {
    api_allowed_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.api_allowed_cidrs]
}

run "nobody_is_refused" {
  command = plan

  variables {
    administrators = {}
  }

  expect_failures = [var.administrators]
}
