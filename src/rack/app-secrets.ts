/** The name of the secret that nodes pull an app's images with; it is deleted with the app. `id` is the app's. */
export function pullSecret(id: string): string {
  return `pull/${id}`;
}

/** The name of a resource's password. Like the resource's data it outlives releases, and the app. `id` is the app's. */
export function resourceSecret(id: string, resource: string): string {
  return `resource/${id}/${resource}`;
}
