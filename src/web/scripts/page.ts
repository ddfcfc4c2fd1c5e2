export {};console.log("page")
