import { dirname, join } from 'node:path';
import { requireShare, setShare } from '../../drives/index.ts';
import { handleSignals } from '../../host/signals.ts';
import { sealedOutPorts } from '../../initrd/index.ts';

/** The port of NFS version 4, and of the port mapper, which only older versions ask. */
const nfsPort = 2049;
const portMapper = 111;

/** `cvm drive nfs`. */
export async function shareCommand(drive: string, share: string): Promise<void> {
  using interruption = handleSignals();
  requireShare(share);
  await setShare(drive, share, interruption.signal);
  process.stdout.write(`The VM will mount ${share} at /user_data/mnt\n`);
  const ports = await sealedOutPorts(join(dirname(drive), 'initrd.img'));
  const missing = [portMapper, nfsPort].filter((port) => !ports?.includes(port));
  if (ports === undefined)
    warn(
      'beside the drive there is no initrd.img of a bundle: whether it lets the VM out to port 2049 was not checked',
    );
  else if (missing.includes(nfsPort))
    warn(
      `allowed_out_ports of this bundle lack ${missing.join(' and ')}: the VM will not mount the share; build it again with 2049 (NFS version 4 needs no other)`,
    );
  else if (missing.includes(portMapper))
    warn('allowed_out_ports of this bundle lack 111: enough for NFS version 4, which the VM uses');
}

function warn(text: string): void {
  process.stderr.write(`warning: ${text}\n`);
}
