/** The name of an app's secret that nodes pull its images with; it goes with the app. */
export function pullSecret(id: string): string {
  return `pull/${id}`;
}

/** The name of a resource's password. It lasts as its data does: longer than a release, and than the app. */
export function resourceSecret(id: string, resource: string): string {
  return `resource/${id}/${resource}`;
}
