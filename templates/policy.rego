package policy

# Without this import an old policy engine reads "allow if {...}" as "allow, always".
import rego.v1

default allow := false

# BEGIN cvm-builder: made from cvm-registry.json; changes between the two marks are lost
# Releases each image's disk key to a VM with that image's launch digest, and to no other.

# Resource path as a list: newer key brokers pass ["repository", "type", "tag"] ...
cvm_resource_path := data["resource-path"] if is_array(data["resource-path"])

# ... older ones "resource/repository/type/tag".
cvm_resource_path := array.slice(parts, 1, 4) if {
	is_string(data["resource-path"])
	parts := split(data["resource-path"], "/")
	count(parts) == 4
	parts[0] == "resource"
}

cvm_is_resource if data.plugin == "resource"

cvm_is_resource if is_string(data["resource-path"])

# Launch digests by resource path, each as hex and as base64: newer key brokers write it as hex, older ones as base64.
cvm_measurements := {
@MEASUREMENTS@
}

cvm_snp := input.submods.cpu0["ear.veraison.annotated-evidence"].snp

# A number is asked for by type as well: in Rego every string is greater than every number.
cvm_tcb_reached if {
@MINIMUM_TCB@
}

allow if {
	cvm_is_resource
	count(cvm_resource_path) == 3
	some digest in split(cvm_measurements[concat("/", cvm_resource_path)], "\n")
	cvm_snp.measurement in split(digest, " ")
	cvm_snp.policy_debug_allowed == false
	cvm_snp.policy_migrate_ma == false
	cvm_tcb_reached
}
# END cvm-builder
