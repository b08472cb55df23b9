import type { Command } from 'commander';

/** Base systems and firmware: `cvm base …`. Each command is a file of its own, loaded when it is called. */
export function addBaseCommands(_base: Command): void {}
