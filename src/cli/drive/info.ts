import { driveInfo } from '../../drives/index.ts';
import { handleSignals } from '../../host/signals.ts';
import { bytesText, jsonText, oneLine } from '../../report/text.ts';

const states = {
  clean: 'clean',
  journal: 'its journal holds changes: a VM is running, or was stopped at once',
  errors: 'errors were met in it: cvm drive check tells more',
};

/** `cvm drive info`. */
export async function infoCommand(drive: string, { json }: { json?: boolean }): Promise<void> {
  using interruption = handleSignals();
  const info = await driveInfo(drive, interruption.signal);
  if (json) {
    process.stdout.write(`${jsonText(info, 2)}\n`);
    return;
  }
  const unused = info.driveBytes - info.fileSystemBytes;
  const rows = [
    ['drive', `${info.label || 'without a label'}, ext4 ${info.uuid}`],
    ['size', `${bytesText(info.driveBytes)}; its file takes ${bytesText(info.fileBytes)} here`],
    ...(unused >= 2 ** 20
      ? [['not used', `${bytesText(unused)}: the file system is smaller than the drive`]]
      : []),
    ['in use', `${bytesText(info.usedBytes)}, ${bytesText(info.freeBytes)} free`],
    ['files', `${info.inodes.used} of ${info.inodes.all}`],
    ['state', states[info.state]],
  ];
  for (const [name, text] of rows) process.stdout.write(`${name!.padEnd(9)} ${oneLine(text!)}\n`);
}
