// Where the service is: a proxy may have it below a path of its own, such as /hposvc.

const root = document.documentElement.dataset.root;

/** The address of a path of the service. */
export const at = (path) => (path.startsWith("/") ? root + path : path);

/** The path of this page, as the service calls it. */
export const here = () => (location.pathname.startsWith(`${root}/`) ? location.pathname.slice(root.length) : location.pathname);
