# Nodes become ready only with a network plug-in, so that it and what gives it its role come first.
resource "aws_eks_addon" "before_nodes" {
  for_each = {
    eks-pod-identity-agent = null
    kube-proxy             = null
    vpc-cni = jsonencode({
      # Whole /28 blocks for each node: more pods, and fewer calls when they start.
      env                 = { ENABLE_PREFIX_DELEGATION = "true", WARM_PREFIX_TARGET = "1" }
      enableNetworkPolicy = "true"
    })
  }

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  configuration_values        = each.value
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"

  dynamic "pod_identity_association" {
    for_each = each.key == "vpc-cni" ? [aws_iam_role.pod["vpc-cni"].arn] : []

    content {
      role_arn        = pod_identity_association.value
      service_account = local.pods["vpc-cni"].service_account
    }
  }
}

resource "aws_eks_addon" "on_nodes" {
  for_each = toset(["aws-ebs-csi-driver", "coredns", "metrics-server"])

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"

  dynamic "pod_identity_association" {
    for_each = each.key == "aws-ebs-csi-driver" ? [aws_iam_role.pod["aws-ebs-csi-driver"].arn] : []

    content {
      role_arn        = pod_identity_association.value
      service_account = local.pods["aws-ebs-csi-driver"].service_account
    }
  }

  depends_on = [aws_eks_node_group.this]
}
