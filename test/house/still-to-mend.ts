// What breaks a rule of the house today, rule by rule. Only take entries off; when all are gone, this file goes.

export const STILL_TO_MEND: Record<string, readonly string[]> = {
  "imports point downwards": [],
  packages: [],
  "no circles": [],
  "folders are small": [],
  names: [],
  files: ["test/relay/sessions/sdk.test.ts: length"],
  "functions are short": [],
  "no boolean parameters": [],
  "no unused exports": [],
  "no unused members": [],
  "no references outside": [],
  "pages are short": [],
};
