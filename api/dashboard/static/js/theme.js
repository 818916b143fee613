// Sets the colour scheme before the first paint, hence a classic script in the head: a module would run too late.
"use strict";

document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "auto";
