/** FLARE's builder of keys for homomorphic encryption, with the arguments of its own sample project. */
const homomorphicBuilder = `  - path: nvflare.lighter.impl.he.HEBuilder
    args:
      poly_modulus_degree: 8192
      coeff_mod_bit_sizes: [60, 40, 40]
      scale_bits: 40
      scheme: CKKS
`;

/** What differs from the guide's project. */
export interface ProjectOptions {
  /** Aggregate under homomorphic encryption. */
  homomorphic?: boolean;
}

/** The project file of FLARE's deployment guide, with any number of clients. */
export function projectFile(
  clients: readonly string[],
  buildImageCommand: string,
  { homomorphic = false }: ProjectOptions = {},
): string {
  const client = (name: string) => `  - name: ${name}
    type: client
    org: nvidia
    cc_config: cc_${name}.yml
`;
  return `api_version: 3
name: example_project
description: NVIDIA FLARE sample project yaml file

participants:
  - name: server1
    type: server
    org: nvidia
    fed_learn_port: 8002
    cc_config: cc_server1.yml
${clients.map(client).join('')}  - name: admin@nvidia.com
    type: admin
    org: nvidia
    role: project_admin

builders:
  - path: nvflare.lighter.impl.workspace.WorkspaceBuilder
  - path: nvflare.lighter.impl.static_file.StaticFileBuilder
    args:
      config_folder: config
  - path: nvflare.lighter.impl.cert.CertBuilder
${homomorphic ? homomorphicBuilder : ''}  - path: nvflare.lighter.cc_provision.impl.cc.CCBuilder
  - path: nvflare.lighter.impl.signature.SignatureBuilder

packager:
  path: nvflare.lighter.cc_provision.impl.onprem_packager.OnPremPackager
  args:
    build_image_cmd: ${buildImageCommand}
`;
}

/** The guide's cc_config of a server or a client. */
export function ccConfig(role: 'server' | 'client'): string {
  const ports = `
allowed_ports:
  - 8002

allowed_out_ports:
  - 443    # HTTPS
  - 8002   # NVFlare
  - 8999   # Trustee KBS
`;
  const hosts = `
hosts_entries:
  server1: 10.176.200.152
`;
  return `compute_env: onprem_cvm
cc_cpu_mechanism: amd_sev_snp
role: ${role}

# All drive sizes are in GB
root_drive_size: 45
applog_drive_size: 1
user_config_drive_size: 1
user_data_drive_size: 1

docker_archive: ~/docker/nvflare-site.tar.gz
${role === 'client' ? hosts : ''}
# Will be mounted inside docker at "/user_config/nvflare"
user_config:
  nvflare: /tmp/startup_kits
${role === 'server' ? ports : ''}
cc_issuers:
  - id: snp_authorizer
    path: nvflare.app_opt.confidential_computing.snp_authorizer.SNPAuthorizer
    token_expiration: 100  # seconds, must be < check_frequency

cc_attestation:
  check_frequency: 120  # seconds
`;
}
