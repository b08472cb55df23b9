export { developmentCa } from './authority.ts';
export {
  type DevelopmentKbs,
  type DevelopmentKbsOptions,
  type RequestCounter,
  startDevelopmentKbs,
} from './server.ts';
