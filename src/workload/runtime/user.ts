import { UserError } from '../../host/errors.ts';
import type { Accounts } from '../accounts.ts';

/** Whom a container runs as. */
export interface RunAs {
  uid: number;
  gid: number;
  /** Supplementary groups, the primary one first. */
  additionalGids: number[];
  home: string;
}

interface PasswdLine {
  name: string;
  uid: number;
  gid: number;
  home: string;
}

interface GroupLine {
  name: string;
  gid: number;
  members: string[];
}

const maximumId = 0x7fff_ffff;

function id(text: string | undefined): number | undefined {
  if (text === undefined || !/^[0-9]{1,10}$/.test(text)) return undefined;
  const number = Number(text);
  return number <= maximumId ? number : undefined;
}

function lines(text: string | undefined): string[][] {
  return (text ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':'));
}

function passwdLines(text: string | undefined): PasswdLine[] {
  return lines(text).flatMap(([name = '', , uid, gid, , home = '']) => {
    const [u, g] = [id(uid), id(gid)];
    return name === '' || u === undefined || g === undefined ? [] : [{ name, uid: u, gid: g, home }];
  });
}

function groupLines(text: string | undefined): GroupLine[] {
  return lines(text).flatMap(([name = '', , gid, members = '']) => {
    const g = id(gid);
    return name === '' || g === undefined ? [] : [{ name, gid: g, members: members.split(',') }];
  });
}

function unresolved(user: string, why: string): UserError {
  return new UserError(`cannot resolve the image's user ${JSON.stringify(user)}: ${why}`, {
    hint: 'set USER in the Dockerfile to a user and group of the image, or to numbers',
  });
}

/**
 * Resolves an image's `User` as Docker does: `user[:group]`, each a name or a number. A number that `/etc/passwd` has not
 * runs with group 0; supplementary groups count only where no group is named.
 * @throws UserError where a name is in no `/etc/passwd` or `/etc/group` of the image
 */
export function resolveUser(user: string | null | undefined, accounts: Accounts): RunAs {
  const wanted = user ?? '';
  const [userPart = '', groupPart = '', ...rest] = wanted.split(':');
  if (rest.length > 0) throw unresolved(wanted, 'it has more than one colon');

  const number = userPart === '' ? 0 : id(userPart);
  // A number is an id and never a name, as in Docker, also where a user is called so.
  const account = passwdLines(accounts.passwd).find(({ name, uid }) =>
    number === undefined ? name === userPart : uid === number,
  );
  if (account === undefined && number === undefined) {
    throw unresolved(
      wanted,
      `${userPart} is not in the image's /etc/passwd${accounts.passwd === undefined ? ' (it has none)' : ''}`,
    );
  }
  const uid = account?.uid ?? number!;
  const home = account?.home || '/';
  const groups = groupLines(accounts.group);

  if (groupPart !== '') {
    const gidNumber = id(groupPart);
    const gid = gidNumber ?? groups.find(({ name }) => name === groupPart)?.gid;
    if (gid === undefined) {
      throw unresolved(
        wanted,
        `${groupPart} is not in the image's /etc/group${accounts.group === undefined ? ' (it has none)' : ''}`,
      );
    }
    return { uid, gid, additionalGids: [gid], home };
  }
  const gid = account?.gid ?? 0;
  const others =
    account === undefined
      ? []
      : groups.filter(({ members }) => members.includes(account.name)).map((group) => group.gid);
  // The primary group is listed as well, or a process could drop out of it and past files that deny the group.
  return { uid, gid, additionalGids: [...new Set([gid, ...others])], home };
}
