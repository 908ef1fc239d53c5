// Runs before the first paint, so that the page does not appear first as it is without JavaScript.

document.documentElement.classList.replace("no-script", "script");
