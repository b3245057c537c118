import type { ConvoxYml } from "../manifest/convox-yml.ts";

/** One image to make, and the services that will run it. */
export interface PlannedBuild {
  services: string[];
  path: string;
  manifest: string;
  args: Record<string, string>;
}

/** An image that exists already, and the services that will run it. */
export interface PlannedImage {
  services: string[];
  image: string;
}

export interface Plan {
  builds: PlannedBuild[];
  images: PlannedImage[];
}

/** Services that share directory, Dockerfile and arguments are built once. */
export function makePlan(manifest: ConvoxYml): Plan {
  const builds = new Map<string, PlannedBuild>();
  const images = new Map<string, PlannedImage>();
  for (const { name, build, image } of manifest.services) {
    if (build) {
      const { path, manifest: file, args } = build;
      const key = JSON.stringify([path, file, Object.entries(args).sort()]);
      const planned = builds.get(key) ?? { services: [], path, manifest: file, args };
      planned.services.push(name);
      builds.set(key, planned);
    } else if (image !== undefined) {
      const planned = images.get(image) ?? { services: [], image };
      planned.services.push(name);
      images.set(image, planned);
    }
  }
  return { builds: [...builds.values()], images: [...images.values()] };
}
