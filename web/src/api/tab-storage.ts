/** Use the storage of this tab, which lives over a reload and ends with the tab. Null where it is forbidden, or full:
 * then nothing outlives the page. */
export function inTab<T>(use: (storage: Storage) => T): T | null {
  try {
    return use(sessionStorage);
  } catch {
    return null;
  }
}
