import { accessSync, constants } from 'node:fs';
import { exitStatus, hasCode, UserError } from './errors.ts';

/**
 * Every tool is started in the working directory, and the kernel's error where that fails names the tool. So it is asked
 * for at the start: `sudo -u builder` leaves an account in a folder that it may not enter.
 * @throws UserError where it is gone or closed to this account
 */
export function requireWorkingDirectory(): void {
  try {
    accessSync(process.cwd(), constants.X_OK);
  } catch (cause) {
    const gone = hasCode(cause, 'ENOENT');
    const why = gone ? 'it has been removed' : `this account may not enter ${process.cwd()}`;
    throw new UserError(`cannot work in the working directory: ${why}`, {
      hint: 'go to a folder of your own (`cd`), and run the command again',
      status: exitStatus.usage,
      cause,
    });
  }
}
