import { statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { isAbsolute } from 'node:path';
import { exitStatus, UserError } from './errors.ts';

/** What `~` stands for: `$HOME`, or, where that is unset or no absolute path, the account's own. @throws UserError */
export function homeFolder(): string {
  const { HOME } = process.env;
  return HOME !== undefined && isAbsolute(HOME) ? HOME : accountHome();
}

/**
 * The home folder to keep files of one's own in. Not another account's, as `sudo -E` leaves it in `$HOME`: what root
 * made there, that account could never write to again.
 * @throws UserError where there is none
 */
export function ownHomeFolder(): string {
  const home = homeFolder();
  if (process.getuid?.() !== 0) return home;
  const owner = statSync(home, { throwIfNoEntry: false })?.uid ?? 0;
  return owner === 0 ? home : accountHome();
}

function accountHome(): string {
  try {
    const { homedir } = userInfo();
    if (isAbsolute(homedir)) return homedir;
  } catch {
    // An account without an entry in passwd(5).
  }
  throw new UserError('cannot tell the home folder of this account', {
    hint: 'set HOME to a folder that you may write to',
    status: exitStatus.usage,
  });
}
