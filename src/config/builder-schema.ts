import { z } from 'zod';
import { described } from './guidance.ts';
import { path, sha256 } from './values.ts';

/** One segment of a KBS resource path; the KBS refuses all others. */
const segment = '[a-zA-Z0-9_-][a-zA-Z0-9_.-]{0,99}';
const resourcePrefix = new RegExp(`^${segment}/${segment}$`);

const tokenClaim = (what: string, fallback: string) =>
  described(z.string().regex(/^[\x21-\x7e]{1,200}$/), what, 'printable ASCII without blanks').default(
    fallback,
  );

const kbs = described(
  z.object({
    url: described(
      z.url({ protocol: /^https?$/, hostname: /./ }),
      'Address of the KBS as the CVM reaches it, for example https://kbs.example.org:8999.',
      'an http or https address, for example https://kbs.example.org:8999',
    ).optional(),
    ca: path("Certificate (PEM) that the KBS's own must chain to; the only one the CVM trusts.").optional(),
    admin_key: path(
      'Ed25519 private key (PEM) of the KBS admin, from which a token is made for each request. Stays on this machine.',
    ).optional(),
    admin_token: path(
      'File with a ready token of the KBS admin, in place of admin_key. Stays on this machine.',
    ).optional(),
    admin_issuer: tokenClaim(
      'Issuer ("iss") of tokens made with admin_key, as a KBS from v0.21 on expects it.',
      'cvm-builder',
    ),
    admin_role: tokenClaim(
      'Role of tokens made with admin_key, as a KBS from v0.21 on expects it.',
      'image-builder',
    ),
    resource_prefix: described(
      z.string().regex(resourcePrefix),
      'Repository and type under which disk keys are kept; a key lives at <prefix>/<image id>.',
      'two segments as <repository>/<type> of letters, digits, "_", "-" and (not first) "."',
    ).default('keys/root'),
    push: described(
      z.enum(['auto', 'never', 'script']),
      'Whether a production build ends by handing policy, key and reference values to the KBS: where the admin key or token is known (auto), by set-policy.sh of the policy directory (script), or not (never).',
      'auto, never or script',
    ).default('auto'),
    accept_insecure: described(
      z.boolean(),
      'Push also to a KBS that would hand keys to people with forged tokens. For trials only.',
      'true or false',
    ).default(false),
  }),
  'The key broker that releases disk keys.',
  'a map with url and ca',
);

const version = (part: string) =>
  described(z.int().min(0).max(255), `Lowest ${part} version.`, 'a whole number from 0 to 255').optional();

const minTcb = described(
  z.object({
    bootloader: version('boot loader'),
    tee: version('TEE (PSP operating system)'),
    snp: version('SNP firmware'),
    microcode: version('CPU microcode'),
  }),
  'Lowest firmware versions of the host that the KBS policy accepts.',
  'a map of bootloader, tee, snp and microcode',
);

/** One word of a sources.list: no blanks, no user name or password that would lie in the cache. */
const archive = (what: string) =>
  described(
    z.string().regex(/^https?:\/\/[\w.:[\]-]+(?:\/[\w.~+-]*)*$/),
    what,
    'an http or https address, for example http://mirror.example.org/debian',
  );

const base = described(
  z.object({
    image: path(
      'A disk with an installed Ubuntu or Debian (qcow2, raw, vmdk, vhdx), or its root file system as a tar archive (plain, gz, xz, zst) or a squashfs. If absent, ubuntu_base.* in base_images; without one, the base is made by mmdebstrap.',
    ).optional(),
    suite: described(
      z.string().regex(/^[a-z][a-z0-9-]{0,31}$/),
      'Debian or Ubuntu suite of the default base; the one of this machine if absent.',
      'the name of a suite, for example bookworm',
    ).optional(),
    with: described(
      z.array(described(z.enum(['nfs', 'gpu']), 'A list of packages.', 'nfs or gpu')),
      'Lists of packages that a built base has beside its core: nfs for a share, gpu for an NVIDIA GPU.',
      'a list of nfs and gpu',
    ).default(['nfs']),
    mirror: archive(
      'Package archive of the suite, in place of the one in the apt sources of this machine or of the distribution.',
    ).optional(),
    security_mirror: archive('Archive of its security updates, likewise; used with mirror only.').optional(),
    kernel: described(
      z.string().regex(/^[A-Za-z0-9][A-Za-z0-9.+~_-]{0,127}$/),
      'Release of the kernel to take from an imported base; the newest with its modules if absent.',
      'a kernel release, as uname -r prints it, for example 6.8.0-45-generic',
    ).optional(),
  }),
  'The operating system of the CVM.',
  'a map of image, suite, with, mirror, security_mirror and kernel',
);

const machine = described(
  z.object({
    cpu: described(
      z.string().regex(/^EPYC(?:-IBPB|(?:-(?:Rome|Milan|Genoa|Turin))?(?:-v[1-9])?)$/),
      'CPU model of QEMU. It is part of the launch digest.',
      "one of QEMU's EPYC models, for example EPYC-v4, EPYC-Milan or EPYC-Genoa-v1",
      { host: 'the digest would depend on the machine that runs it: name a model, for example EPYC-v4' },
    ).default('EPYC-v4'),
    vcpus: described(
      z
        .array(described(z.int().min(1).max(512), 'A number of vCPUs.', 'a whole number from 1 to 512'))
        .min(1)
        .max(64),
      'Numbers of vCPUs that a site may start the CVM with; each has its own launch digest.',
      'a list of whole numbers from 1 to 512',
    ).default([1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128]),
    memory: described(
      z.int().min(1).max(16_384),
      'Memory of the CVM in GiB, unless the site says otherwise.',
      'a whole number of GiB from 1 to 16384',
    ).default(8),
    guest_features: described(
      z.union([z.string().regex(/^0x[0-9a-fA-F]{1,4}$/), z.int().min(0).max(0xffff)]),
      'SEV_FEATURES of the VMSA. 0x1 for upstream Linux and QEMU; 0x21 where the host turns on DebugSwap.',
      'a bit field of up to 16 bits such as 0x1, with bit 0 (SNPActive) set',
    ).default('0x1'),
  }),
  'How the CVM is started.',
  'a map of cpu, vcpus, memory and guest_features',
);

/** Files below /user_config in one normal form, so that they can be compared as text. */
export const plainPath = described(
  z
    .string()
    .max(4096)
    .regex(/^(?!.*(?:^|\/)\.{1,2}(?:\/|$))[^/*?[\]\\]+\/(?:[^/*?[\]\\]+\/)*[^/*?[\]\\]*$/),
  'One file, as <user_config key>/<path in its folder>; or, ending in "/", a folder with all that is in it.',
  'one file as <user_config key>/<path>, for example data/classes.txt, or a folder as <user_config key>/ or <user_config key>/<path>/, without "..", "//" or patterns',
);

/** The schema of builder.yml. */
export const builderSchema = z
  .object({
    kbs: kbs.prefault({}),
    policy_directory: path(
      'Folder of policy.rego and of the registry of images. /shared/policy if absent and that exists.',
    ).optional(),
    opa: path(
      'Open Policy Agent, by which the policy is run before it is written; the opa on PATH if absent.',
    ).optional(),
    min_tcb: minTcb.prefault({}),
    base: base.prefault({}),
    machine: machine.prefault({}),
    user_config_plain: described(
      z.array(plainPath),
      'What of user_config whoever runs the host may read, beside the public files of a FLARE kit. Everything else is sealed.',
      'a list of <user_config key>/<path>, where a folder ends in "/"',
    ).default([]),
    output: path('Folder for finished bundles.').optional(),
    cache: path('Folder for what builds share.').optional(),
    accept_firmware: described(
      z.array(sha256('SHA-256 of one firmware file.')),
      'Firmware that is used although the builder knows it to enforce less than its digest promises.',
      'a list of SHA-256 digests',
    ).default([]),
  })
  .describe('What an administrator sets once for all sites (builder.yml).');

/** The file's values once checked, under the file's own names. */
export type BuilderValues = z.output<typeof builderSchema>;
